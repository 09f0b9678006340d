//! Restores into real files that others have open.

mod damage;
mod modes;
mod readers;
mod sizes;
