"""What every part stands on: files, text, problems with annotation, where figures come from."""
