//! Inputs made of others, at random, repeatably.

/// A generator of random numbers (xorshift).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// One that begins with this.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below this one; 0 below 0.
    pub fn below(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % most).unwrap_or(0)
    }
}

/// No input becomes longer.
const LONGEST: usize = 64 << 10;
/// Numbers at the ends of what lengths and counts can be.
const NUMBERS: [u64; 9] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX];
/// What means something to one of the readers.
const WORDS: [&str; 28] = [
    "$",
    "${",
    "}",
    "$((",
    "))",
    "A=",
    "A+=",
    "\"",
    "'",
    "\\",
    "\n",
    "(",
    ")",
    "[0]=",
    "${A//a*b/",
    "${#A[@]}",
    "*",
    "{1,255}",
    "error: ",
    "make: *** ",
    "070701",
    "TRAILER!!!",
    "~Module signature appended~\n",
    ".modinfo",
    "\0",
    "../",
    "\u{202e}",
    "9999999999",
];

/// One of the inputs, changed in one place or several.
pub(crate) fn mutated(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = inputs[random.below(inputs.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let rest = bytes.len() - at;
        match random.below(9) {
            0 if rest > 0 => bytes[at] ^= 1 << random.below(8),
            1 if rest > 0 => bytes[at] = random.next().to_le_bytes()[0],
            2 => {
                let number = NUMBERS[random.below(NUMBERS.len())];
                let width = [1, 2, 4, 8][random.below(4)].min(rest);
                let digits = if random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                let digits = if random.below(2) == 0 { &digits[..width] } else { &digits[8 - width..] };
                bytes[at..at + width].copy_from_slice(digits);
            }
            3 => drop(bytes.drain(at..at + random.below(rest.min(40) + 1))),
            4 => bytes.truncate(at),
            5 => insert(&mut bytes, at, WORDS[random.below(WORDS.len())].as_bytes()),
            6 => {
                let piece = bytes[at..at + random.below(rest + 1)].to_vec();
                let times = [1, 2, 10, 1000][random.below(4)];
                insert(&mut bytes, at, &piece.repeat(times.min(LONGEST / piece.len().max(1))));
            }
            7 => {
                let other = &inputs[random.below(inputs.len())];
                let from = random.below(other.len() + 1);
                insert(&mut bytes, at, &other[from..from + random.below(other.len() - from + 1)]);
            }
            _ => {
                let other = &inputs[random.below(inputs.len())];
                bytes.truncate(at);
                bytes.extend(&other[random.below(other.len() + 1)..]);
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    drop(bytes.splice(at..at, piece.iter().copied()));
}
