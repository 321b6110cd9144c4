//! Trains the tiny Stable Diffusion that the project carries, on drawings that it makes itself.
//!
//! `cargo run --release -p redraft-nodes --example tiny -- train --vae-seconds 3600 --diffusion-seconds 7200 --out DIR`

mod autoencoder;
mod budget;
mod check;
mod checker;
mod checkpoint;
mod contact_sheet;
mod data;
mod denoiser;
mod drawing;
mod keeps;
mod log;
mod optimiser;
mod painter;
mod parameters;
mod sheet;
#[cfg(test)]
mod tests;
mod train;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use redraft_nodes::ops::cuda::DeviceChoice;

/// Trains a tiny Stable Diffusion.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<train::Train>),
    /// Draws the sheets of a checkpoint.
    Sheet {
        checkpoint: PathBuf,
        /// Where the pictures are written.
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value = "cpu")]
        device: DeviceChoice,
        #[arg(long, default_value_t = 128)]
        size: u32,
        #[arg(long, default_value_t = 7.0)]
        guidance: f64,
    },
    Check(check::Check),
    Keeps(keeps::Keeps),
    /// Cuts a file into parts below 15 MiB.
    Split {
        file: PathBuf,
    },
    /// Puts the parts of a checkpoint together, in the order given.
    Join {
        #[arg(required = true)]
        parts: Vec<PathBuf>,
        #[arg(long)]
        out: PathBuf,
    },
    /// Plots the loss.csv of a directory.
    Plot {
        directory: PathBuf,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Train(train) => train.run(),
        Command::Sheet { checkpoint, out, device, size, guidance } => {
            fs_err::create_dir_all(&out)?;
            sheet::sheets(&checkpoint, &train::open(device, false, false)?, size, guidance, &out)
        }
        Command::Check(check) => check.run(),
        Command::Keeps(keeps) => keeps.run(),
        Command::Split { file } => {
            checkpoint::split(&file, None)?.iter().try_for_each(|part| log::say(&part.display().to_string()))
        }
        Command::Join { parts, out } => checkpoint::join(&parts, &out),
        Command::Plot { directory } => log::plot(&directory),
    }
}
