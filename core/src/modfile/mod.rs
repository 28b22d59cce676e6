//! Module files: what a `.ko` says of itself, and how it is compressed.
