"""What convpolicy gives to the tests of its users. Modules are imported by name: `convpolicy.testing.strategies`."""
