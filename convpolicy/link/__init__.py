"""How frames travel: the `Link` port, and the links that convpolicy ships."""
