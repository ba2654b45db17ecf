//! Random numbers from the kernel, many at a call: one each was 2 % of an allocation's cost. Each is given out once.

use std::io;

/// Bytes the kernel gives without a signal coming in between (getrandom(2)).
const STOCK: usize = 256;

pub struct Entropy {
    stock: [u8; STOCK],
    used: usize,
}

impl Default for Entropy {
    fn default() -> Self {
        Self {
            stock: [0; STOCK],
            used: STOCK,
        }
    }
}

impl Entropy {
    pub fn number(&mut self) -> io::Result<u32> {
        if self.used == STOCK {
            getrandom::fill(&mut self.stock).map_err(io::Error::other)?;
            self.used = 0;
        }
        let next = &mut self.stock[self.used..][..4];
        let number = next
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte));
        next.fill(0);
        self.used += 4;
        Ok(number)
    }
}

/// Without what is still to come.
impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_repeat_beyond_one_call_to_the_kernel() {
        let mut entropy = Entropy::default();
        let count = STOCK / 4 * 3;
        let numbers: std::collections::HashSet<_> =
            (0..count).map(|_| entropy.number().unwrap()).collect();
        // Of 192 numbers two are alike once in 230,000 times; three pairs never are.
        assert!(numbers.len() > count - 3, "{}", numbers.len());
    }
}
