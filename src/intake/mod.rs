//! Files into clean drafts, and drafts into the store: contacts, events, coupon codes and opt-outs.
//!
//! A [`table::Table`] reads any delimited text with flat memory; [`headers`] finds which column means what; one module
//! per kind of file turns a row into a draft or into a [`reason::Reason`] to reject it, and [`rejects`] writes the
//! rejected rows to a file that can be mended and read again. [`import`] brings a whole file into the store, and
//! [`generate`] draws new coupon codes. Nothing here guesses silently: what cannot be read is
//! rejected with its line, and no error or reason ever carries a phone number or a code.

mod decode;
mod extras;
mod lines;
mod synonyms;
mod value;

pub mod contact;
pub mod coupon;
pub mod event;
pub mod generate;
pub mod headers;
pub mod import;
pub mod optout;
pub mod reason;
pub mod rejects;
pub mod source;
pub mod table;

use std::io;

/// Why a whole file cannot be read. One bad row is never such an error.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The file is not there or may not be read.
    #[error("cannot open {name}: {cause}")]
    Open {
        /// The file.
        name: String,
        /// What the system says.
        cause: io::Error,
    },
    /// Reading broke off.
    #[error(
        "{name}, line {line}: reading broke off: {cause}; look whether the file is whole, or fetch it again"
    )]
    Read {
        /// The file.
        name: String,
        /// How far it was read.
        line: u64,
        /// What the system or the unpacker says.
        cause: io::Error,
    },
    /// There is not even a header.
    #[error("{name} is empty; the first line must name the columns")]
    Empty {
        /// The file.
        name: String,
    },
    /// A workbook or an archive.
    #[error("{name} is a workbook or archive, not text; open it and save it as CSV")]
    Workbook {
        /// The file.
        name: String,
    },
    /// Pictures, programs, databases.
    #[error("{name} is no text; name a CSV or another delimited text file, which may be packed with gzip")]
    Binary {
        /// The file.
        name: String,
    },
    /// The header line cannot be read.
    #[error("{name}, line {line}: the header cannot be read: {fault}")]
    BadHeader {
        /// The file.
        name: String,
        /// Where the header begins.
        line: u64,
        /// What is wrong with it.
        fault: table::RowFault,
    },
    /// No such encoding.
    #[error("`{label}` is no encoding; use utf-8, utf-16le, windows-1252 or another name of the web's list")]
    Encoding {
        /// What was asked for.
        label: String,
    },
    /// A delimiter that cannot be one.
    #[error(
        "a delimiter is one ASCII character, such as `,` `;` or a tab; it cannot be a quote or a line end"
    )]
    Delimiter,
}
