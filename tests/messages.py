"""What an error message must be, for tests."""


def is_one_line_about(error, path):
    text = str(error.value)
    return "\n" not in text and str(path) in text
