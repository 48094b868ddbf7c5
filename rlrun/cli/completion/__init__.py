"""What a shell offers at Tab."""
