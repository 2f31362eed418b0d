//! The bytes of PTPv1 (IEEE 1588-2002).
