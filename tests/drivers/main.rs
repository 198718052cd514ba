//! The driver matrix and the error table, in their short form.
