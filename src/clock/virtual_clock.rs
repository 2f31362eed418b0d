//! A clock made of numbers.
