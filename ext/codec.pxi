# --- plaintext of records --------------------------------------------------------------------------------------------

def split_fields(bytes plain not None):
    """Return the fields of a record's plaintext as a list of str: a count, as many 32-bit lengths, as many texts.

    Raises ValueError where a length leads out of the plaintext or a text is not UTF-8.
    """
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(plain)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(plain), count, at, i, length
    cdef list fields = []
    count = data[0] if size else 0
    at = 1 + 4 * count
    if at > size:
        raise ValueError("expected the lengths of all fields")
    for i in range(count):
        length = wt_le32(data + 1 + 4 * i)
        if length > size - at:
            raise ValueError("expected a field to end within the record")
        fields.append(PyUnicode_DecodeUTF8(<const char *>data + at, length, NULL))
        at += length
    return fields
