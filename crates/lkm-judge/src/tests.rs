//! Judgements of recorded traces: for each rule one that breaks it and one that does not.

mod autoload;
mod follow;
mod hostile;
mod lives;
mod locks;
mod pictures;
mod refs;
mod reports;
mod waits;
