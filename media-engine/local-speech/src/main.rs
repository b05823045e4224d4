//! `tandem-local-speech`: recognition, translation and synthesis on this machine, over the Wyoming protocol.
//!
//! ```text
//!   stdin ─▶ service ─▶ recogniser (libpocketsphinx), apertium, espeak ─▶ service ─▶ stdout
//! ```
//!
//! A separate process, so that the engine links none of these libraries and survives their faults. It serves one connection by
//! default, on stdin and stdout; with `--tcp` any number, each with its own recogniser.

mod apertium;
mod espeak;
mod ffi;
mod grammar;
mod phrases;
mod recogniser;
mod service;
mod upsample;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use clap::Parser;

use crate::phrases::Phrases;

/// Maximum number of simultaneous TCP connections; further ones are closed.
const MAX_CONNECTIONS: usize = 64;

/// Local speech: English recognition of known phrases, English-Spanish translation, both voices.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Listen on this address instead of serving stdin and stdout. There is no authentication: keep it on loopback.
    #[arg(long, value_name = "ADDR")]
    tcp: Option<SocketAddr>,
    /// Folder with `en.txt` and `en-es.tsv` to use instead of the built-in phrases.
    #[arg(long, value_name = "DIR")]
    phrases: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let phrases = Arc::new(Phrases::load(arguments.phrases.as_deref())?);
    match arguments.tcp {
        None => service::serve(std::io::stdin(), Box::new(std::io::stdout()), &phrases),
        Some(address) => listen(address, &phrases),
    }
}

fn listen(address: SocketAddr, phrases: &Arc<Phrases>) -> Result<()> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("--tcp: cannot listen on {address}; free the port or choose another"))?;
    // The caller needs the address when it requested port 0.
    eprintln!("listening on {}", listener.local_addr()?);
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (phrases, open) = (Arc::clone(phrases), Arc::clone(&open));
        std::thread::Builder::new().name("connection".into()).spawn(move || {
            if let Err(error) = serve_stream(&stream, &phrases) {
                eprintln!("connection ended: {error:#}");
            }
            open.fetch_sub(1, Ordering::Relaxed);
        })?;
    }
    Ok(())
}

fn serve_stream(stream: &TcpStream, phrases: &Arc<Phrases>) -> Result<()> {
    stream.set_nodelay(true)?;
    let output = Box::new(stream.try_clone()?);
    service::serve(stream, output, phrases)
}
