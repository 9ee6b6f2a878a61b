//! Requests that come again.

/// Whether kept answers are looked for before orders are decided. Most requests are new, and a look-up of each
/// would be waste; a client that asks again seldom does so alone.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Batches that still look first.
    look_first_in: u32,
}

impl Repeats {
    /// After a repeated request so many batches look for others.
    const BATCHES: u32 = 64;

    pub(super) fn found(&mut self) {
        self.look_first_in = Self::BATCHES;
    }

    pub(super) fn are_expected(&self) -> bool {
        self.look_first_in > 0
    }

    pub(super) fn batch_ended(&mut self) {
        self.look_first_in = self.look_first_in.saturating_sub(1);
    }
}
