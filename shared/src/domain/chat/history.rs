//! The input of the model, built from the items of a thread.
