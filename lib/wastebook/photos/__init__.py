"""What a photo looks like: decode, check, measure, compare, transform."""
