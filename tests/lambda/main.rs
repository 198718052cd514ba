//! The Lambda extension: against a script of Lambda's API for what AWS's emulator cannot be
//! made to do, and under the emulator with real functions.

mod deadlines;
mod flows;
mod freezes;
mod languages;
mod lives;
mod python;
mod roads;
mod robust;
mod support;
mod warm;
