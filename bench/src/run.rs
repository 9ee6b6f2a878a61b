//! Options of a measurement.

use std::path::PathBuf;

use clap::Args;

use crate::selection::Selection;

#[derive(Debug, Clone, Args)]
pub struct Run {
    #[command(flatten)]
    pub selection: Selection,
    /// Folder of Jaego's own programs.
    #[arg(long, value_name = "FOLDER")]
    pub programs: PathBuf,
    /// Folder for the servers' data. Each case deletes its own part of it before and after it runs.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
    /// Folder for the document and its charts.
    #[arg(long, value_name = "FOLDER")]
    pub docs: PathBuf,
}
