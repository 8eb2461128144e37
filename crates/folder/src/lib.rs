//! Implements delivery's traits on a folder of the machine: mapping files,
//! dead letters and positions.
//!
//! For `func` on a laptop, for a mounted ConfigMap, and for the local stack;
//! the same traits on Azure are in `azure`.

pub mod dead_letters;
pub mod mapping_file;
pub mod positions;

pub use dead_letters::DeadLetterFolder;
pub use mapping_file::MappingFile;
pub use positions::PositionFolder;
