//! One JSON string a line in, one JSON object a line out: how other programs ask many questions of one process.
//!
//! Answers leave as soon as no further question is waiting; a line is never held whole if it is too long.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

/// Octets that one line may have; far more than any text or number.
const LONGEST: u64 = 64 * 1024;

/// Answers every line of standard input. A line that is no JSON string gets an object with `error` and `line`, and the
/// command fails at its end.
///
/// # Errors
/// When standard input cannot be read.
pub(super) fn answer<T: Serialize>(answer: impl FnMut(&str) -> T) -> anyhow::Result<ExitCode> {
    let good = converse(std::io::stdin().lock(), std::io::stdout().lock(), answer)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether every line was a JSON string. A reader that went away ends it quietly.
fn converse<T: Serialize>(
    input: impl Read,
    output: impl Write,
    mut answer: impl FnMut(&str) -> T,
) -> anyhow::Result<bool> {
    let (mut input, mut output) = (BufReader::new(input), std::io::BufWriter::new(output));
    let (mut good, mut line) = (true, Vec::new());
    for number in 1_u64.. {
        line.clear();
        if (&mut input).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let whole = line.ends_with(b"\n") || line.len() < usize::try_from(LONGEST)?;
        if !whole {
            skip_line(&mut input)?;
        }
        let said = match serde_json::from_slice::<String>(&line) {
            Ok(text) if whole => serde_json::to_string(&answer(&text))?,
            _ => {
                good = false;
                let error = if whole { "not a JSON string" } else { "longer than 65536 octets" };
                json!({"error": error, "line": number}).to_string()
            }
        };
        let mut written = writeln!(output, "{said}");
        if written.is_ok() && input.buffer().is_empty() {
            written = output.flush();
        }
        if written.is_err() {
            break;
        }
    }
    Ok(good && output.flush().is_ok())
}

fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let rest = input.fill_buf()?;
        let end = rest.iter().position(|octet| *octet == b'\n');
        let (taken, done) = end.map_or((rest.len(), rest.is_empty()), |at| (at + 1, true));
        input.consume(taken);
        if done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::converse;

    fn ask(input: &str) -> (bool, String) {
        let mut output = Vec::new();
        let good = converse(input.as_bytes(), &mut output, |text| text.chars().count()).expect("reads");
        (good, String::from_utf8(output).expect("text"))
    }

    #[test]
    fn every_line_gets_one_answer_and_a_bad_one_does_not_stop_the_others() {
        assert_eq!(ask("\"ab\"\n\"\\n\"\n"), (true, "2\n1\n".to_owned()));
        assert_eq!(ask("\"last line without an end\""), (true, "24\n".to_owned()));
        let told = "{\"error\":\"not a JSON string\",\"line\":1}\n1\n".to_owned();
        assert_eq!(ask("raw\n\"x\"\n"), (false, told));
        assert_eq!(ask(""), (true, String::new()));
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_the_next_is_answered() {
        let (good, said) = ask(&format!("\"{}\"\n\"x\"\n", "a".repeat(1 << 20)));
        assert_eq!((good, said.lines().count()), (false, 2));
        assert!(said.ends_with("\n1\n"), "{said}");
    }
}
