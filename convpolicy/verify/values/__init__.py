"""What is known of the values in a policy, and by whom; whether their conditions can always be kept."""
