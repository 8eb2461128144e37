//! Speaks the Functions host's custom-handler protocol.
