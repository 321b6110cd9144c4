//! Trains the tiny Stable Diffusion that the project carries, on drawings that it makes itself.
//!
//! `cargo run --release -p redraft-nodes --example tiny -- train --vae-seconds 3600 --diffusion-seconds 7200 --out DIR`

mod autoencoder;
mod budget;
mod check;
mod checker;
mod checkpoint;
mod companion;
mod control;
mod data;
mod denoiser;
mod draw;
mod drawing;
mod inpainting;
mod inversion;
mod keeps;
mod log;
mod lora;
mod optimiser;
mod painter;
mod parameters;
mod pool;
mod report;
mod sheet;
#[cfg(test)]
mod tests;
mod train;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
        #[command(flatten)]
        canvas: painter::Canvas,
        #[arg(long, default_value_t = 7.0)]
        guidance: f64,
    },
    Check(check::Check),
    Keeps(keeps::Keeps),
    Draw(draw::Draw),
    Lora(lora::Lora),
    Inversion(inversion::Inversion),
    Inpainting(inpainting::Inpainting),
    Control(control::Control),
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
        Command::Sheet { checkpoint, out, canvas, guidance } => {
            fs_err::create_dir_all(&out)?;
            sheet::sheets(&checkpoint, &train::open(canvas.device, false, false)?, canvas.size, guidance, &out)
        }
        Command::Check(check) => check.run(),
        Command::Keeps(keeps) => keeps.run(),
        Command::Draw(draw) => draw.run(),
        Command::Lora(lora) => lora.run(),
        Command::Inversion(inversion) => inversion.run(),
        Command::Inpainting(inpainting) => inpainting.run(),
        Command::Control(control) => control.run(),
        Command::Split { file } => {
            checkpoint::split(&file, None)?.iter().try_for_each(|part| log::say(&part.display().to_string()))
        }
        Command::Join { parts, out } => checkpoint::join(&parts, &out),
        Command::Plot { directory } => log::plot(&directory),
    }
}
