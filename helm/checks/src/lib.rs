//! The checks of the chart are in `tests/it/`.
