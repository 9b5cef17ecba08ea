"""A JPEG with known answers: encoders give other bytes from version to version, so it is kept.

It is the canary (see `canary`), 128 x 96, quality 25, baseline, colours at half the resolution.
"""

import base64

_CONTENT = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACAWGBwYFCAcGhwkIiAmMFA0MCwsMGJGSjpQdGZ6eHJmcG6AkLicgIiuim5w"
    "oNqirr7EztDOfJri8uDI8LjKzsb/2wBDASIkJDAqMF40NF7GhHCExsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbG"
    "xsbGxsbGxsbGxsbGxsbGxsbGxsb/wAARCABgAIADASIAAhEBAxEB/8QAGgAAAgMBAQAAAAAAAAAAAAAAAQIAAwQFBv/E"
    "ADUQAAIBAgMEBwcDBQAAAAAAAAABAgMRBCFhBRIxQRMUFVGBosEiQ1NjcdHhQoLwMjNkkqH/xAAZAQACAwEAAAAAAAAA"
    "AAAAAAACAwABBAX/xAAjEQACAgIBBAIDAAAAAAAAAAAAAQIRAyEEEjEyURMiQUKB/9oADAMBAAIRAxEAPwDgpBSCkMkQ"
    "iYEgpDJBSLDTFSGSGUQqJBiYqQyQyiFRLsNMVIZIZQGUCWGpCJBSHUNRlDUuxikIkFIsVPUKp6ksNSESCkWKnqFU9S7D"
    "UkcpIKQUhkhRxUwJDJDJAqPdjryLCTFnNRy4s00tnYutHeaVNct92/4bNl4KMKSr1YqU5ZxvnZcn9TpGXJyKdRGqN9zi"
    "9k4r4tP/AGf2M9aniMJK1aF48FLk/E9ECcIzi4zipRfFNXQuPJlewun0cKDU43jwHSExdF4DFJw/sz4K9/qjQrNXWaZt"
    "Uk1aLUvYiQUi1IKRdhqRWkMkIkFIKhyLEgpCpBSJQaOWkFIZIKQBxUwpCqKni6NOSvGUkmvqy1IrVo46hKTtFSjdvhxK"
    "/AyD2eiIQhyjWQhCEIY9rRUsBNtZxaa+t7epgw026EL58jftZpbPqJtK9ktc0c/Cp9Xhdfy50ON4f0H9jSpaBUtAJDJD"
    "6CVCqnqMqeo6QyRdjFIVU9QqnqWJDJFWEpM4qQyQUgpAnHTGSK8RSc6d0ryiXpBSKTLUqNWzMX1ijuTa6WGTzza7zacO"
    "vhHKXSUXuzWfdnpqWQ2piKC3cRR33yf9N/RmbJgbdwNkMqa2dghye2/8fz/gprVsXj/Z3ejpPO3BaZ8wI8ebe9BOaDj6"
    "7xuKjQpO9OD4rn3v+eppjFRiopZJWQKGGjRhuxzfN95co6myKUVSF9VuyJDJFFfE9Du+xvX1sVdo/K834GLHJq0i+pIv"
    "SGSMfXvl+YPX/leb8DPjl6GrLH2b0hkinB1+tb/s7u7bnc1qnqLenTDjNM4yQyQUgpAHHTHSCkMkMkCWmFIZIpSI2o8S"
    "6GRi3pDJEbUeLElWbyjkisrqN2PA+8iyddvKOSLMLm5+BmL8P+rwItsbOCjBpFG0Pd+PoYzftT3Xj6GA34vBGJu2QhCD"
    "Cjp7G99+31OokcrY/vv2+p1EjHlX3Zoh2OOkMkFIjaXEScuKcnSLUiSlGHF+BVKs3lHJFYJuxcOT3PQzm3wyFAQh0Iwj"
    "BVFEIQhQRDThFff8DMa8D+vwLXcVm8GDaOFq1uj6KO9a980u4x9nYr4XmX3O6kMkOjmlFUjnpnn+z8V8LzL7k7OxXwvM"
    "vud5IKQfzyGJI52zKFXD9J0sLb1rZrU3p6ESCkDJ9TtjopI//9k="
)


def known_jpeg() -> bytes:
    """Returns the file, 1,211 bytes."""
    return base64.b64decode(_CONTENT)
