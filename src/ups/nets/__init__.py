"""Networks without roles: shapes in, shapes out."""
