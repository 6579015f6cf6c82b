"""What an error message must be, for tests."""


def is_one_line_about(error, path):
    return is_one_line(str(error.value), path)


def is_one_line(text, path):
    return "\n" not in text and str(path) in text
