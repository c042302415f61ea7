"""Code that does less than its policy allows, and policies that change while conversations run."""
