#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod kernel;
mod portable;

use std::ops::Range;

use crate::protection::read_words;
use crate::{BLOCK, MemoryImage, Protection, StatusCounts};

pub(crate) use self::kernel::Code;
pub use self::kernel::Kernel;
pub(crate) use self::kernel::Loop;
use self::kernel::{GROUP_BLOCKS, bytes_before_lines};

/// A code's loops over whole memories, at the speed of memory where nearly all words are clean.
///
/// The loops handle clean blocks. The protection's own block and word codecs handle all other blocks, and the ends of a
/// plane that fill no group of blocks, so the effect of a flip is decided in one place.
#[derive(Clone, Copy, Debug)]
pub struct Dense<'c> {
    kernel: Kernel,
    code: Code<'c>,
}

impl<'c> Dense<'c> {
    pub(crate) fn new(kernel: Kernel, code: Code<'c>) -> Self {
        Self { kernel, code }
    }

    pub(crate) fn encode<P: Protection + ?Sized>(
        self,
        protection: &P,
        plane: &[i8],
        image: &mut MemoryImage,
    ) {
        let groups = if self.code.encodes() { whole_groups(image.data()) } else { 0..0 };
        let (blocks, _) = plane.as_chunks::<BLOCK>();
        for block in (0..groups.start).chain(groups.end..blocks.len()) {
            protection.encode_block(&blocks[block], image, block);
        }
        let (data, check) = image.planes_mut();
        let checks = check_bytes(check, &groups);
        self.kernel.encode(self.code, &plane[bytes(&groups)], &mut data[bytes(&groups)], &mut check[checks]);
    }

    pub(crate) fn decode<P: Protection + ?Sized>(
        self,
        protection: &P,
        image: &MemoryImage,
        plane: &mut [i8],
    ) -> StatusCounts {
        let groups = whole_groups(plane);
        let mut counts = StatusCounts::default();
        let mut read =
            |first: usize, weights: &mut [i8]| counts += read_words(protection, image, first, weights);
        read(0, &mut plane[..groups.start * BLOCK]);
        read(groups.end, &mut plane[groups.end * BLOCK..]);
        let (data, weights) = (&image.data()[bytes(&groups)], &mut plane[bytes(&groups)]);
        self.kernel.decode(self.code, data, image.check(), groups.start, weights, &mut read);
        counts.with_clean(words(protection, image))
    }

    pub(crate) fn verify<P: Protection + ?Sized>(self, protection: &P, image: &MemoryImage) -> StatusCounts {
        let blocks = image.data().len() / BLOCK;
        let groups = 0..blocks / GROUP_BLOCKS * GROUP_BLOCKS;
        let mut counts = StatusCounts::default();
        let mut read = |block: usize| counts += read_words(protection, image, block, &mut [0; BLOCK]);
        (groups.end..blocks).for_each(&mut read);
        self.kernel.verify(self.code, &image.data()[bytes(&groups)], image.check(), &mut read);
        counts.with_clean(words(protection, image))
    }
}

/// Blocks that the kernel handles when it writes to `output`.
fn whole_groups<T>(output: &[T]) -> Range<usize> {
    let start = bytes_before_lines(output) / BLOCK;
    let blocks = output.len() / BLOCK - start;
    start..start + blocks / GROUP_BLOCKS * GROUP_BLOCKS
}

fn bytes(blocks: &Range<usize>) -> Range<usize> {
    blocks.start * BLOCK..blocks.end * BLOCK
}

/// Check bytes of some blocks: one for each block, or none.
fn check_bytes(check: &[u8], blocks: &Range<usize>) -> Range<usize> {
    if check.is_empty() { 0..0 } else { blocks.clone() }
}

fn words<P: Protection + ?Sized>(protection: &P, image: &MemoryImage) -> u64 {
    (image.data().len() / protection.word().weights) as u64
}
