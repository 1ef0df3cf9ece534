//! New coupon codes for a pool: drawn until as many as asked for are in, long enough not to be guessed.
//!
//! Never chooses a length by taste and never prints a code.

use rand::CryptoRng;

use crate::model::clock::Timestamp;
use crate::model::coupon::{Alphabet, BadShape, CodeShape, GuessOdds, length_for};
use crate::store::coupons::{NewCode, Pool};
use crate::store::{MOST_ROWS, Store, StoreError};

/// Batches without a single new code after which the randomness must be broken: by the guessing bound, one has a
/// chance below one in a million.
const MOST_FRUITLESS: u32 = 3;

/// What new codes are to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// What they are drawn from.
    pub alphabet: Alphabet,
    /// Whether a check character ends them; the standard alphabet only.
    pub check: bool,
    /// How rarely a blind guess may hit a live code of the pool, the new ones among them.
    pub odds: GuessOdds,
}

/// What was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generated {
    /// New in stock.
    pub added: u64,
    /// Drawn in vain, because the code existed, and drawn again.
    pub drawn_again: u64,
    /// Their form.
    pub shape: CodeShape,
}

/// Why codes could not be generated. Those of full batches are in stock.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// There is no such form.
    #[error(transparent)]
    Shape(#[from] BadShape),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The same codes come again and again.
    #[error("the random numbers repeat themselves; nothing secret can be drawn on this machine")]
    BrokenRandomness,
}

/// Adds `count` new codes to `pool`. They are as long as the guessing bound asks for with those that are live already.
/// `progress` is told after each batch how many are in. Give the operating system's generator: a code is a secret.
///
/// # Errors
/// When the form is impossible, the store cannot be written, or `rng` repeats itself.
pub async fn generate_codes(
    store: &Store,
    pool: &Pool,
    count: u64,
    drawing: Drawing,
    rng: &mut (impl CryptoRng + Send),
    now: Timestamp,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Generated, GenerateError> {
    let stock = store.pool_counts(pool.id).await?;
    let live = stock.available + stock.reserved + stock.sent + stock.quarantined;
    let live = u64::try_from(live).unwrap_or(0).saturating_add(count);
    let length = length_for(drawing.alphabet, live, drawing.odds);
    let shape = CodeShape::new(drawing.alphabet, length, drawing.check)?;
    let (mut done, mut fruitless) = (Generated { added: 0, drawn_again: 0, shape }, 0);
    while done.added < count {
        let wanted = usize::try_from(count - done.added).unwrap_or(MOST_ROWS).min(MOST_ROWS);
        let codes: Vec<_> = (0..wanted).map(|_| drawn(shape, rng)).collect();
        let added = store.add_codes(pool.id, &codes, now).await?.added;
        done.added += added;
        done.drawn_again += codes.len() as u64 - added;
        fruitless = if added == 0 { fruitless + 1 } else { 0 };
        if fruitless >= MOST_FRUITLESS {
            return Err(GenerateError::BrokenRandomness);
        }
        progress(done.added);
    }
    Ok(done)
}

fn drawn(shape: CodeShape, rng: &mut impl CryptoRng) -> NewCode {
    NewCode { code: shape.draw(rng).reveal().to_owned(), expires_at: None }
}
