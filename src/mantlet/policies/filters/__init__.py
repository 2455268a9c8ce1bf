"""What texts may not hold, in arguments and in results: a second line, never the only one (VAL-04 … VAL-08, TOOL-04).

A file a category, each with one pure function `find`: text in, findings out, in linear time.
"""
