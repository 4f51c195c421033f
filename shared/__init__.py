"""What every function uses; staged into every bundle."""
