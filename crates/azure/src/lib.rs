//! Implements delivery's traits on Event Hubs and Blob Storage.
