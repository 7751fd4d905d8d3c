//! Draws which pieces are here, arriving or missing, and which a peer has.
//!
//! One renderer for page and window: pure functions from bit fields to RGBA pixels. It knows neither
//! canvas nor image element, and its cost is linear in the number of pieces. Colours are partly
//! transparent so that one palette fits light and dark.

use std::sync::Arc;

/// A row of bits, one a piece; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    bytes: Arc<[u8]>,
    len: usize,
}

impl Bits {
    /// Takes `len` bits as they stand on the wire, the first one the highest of its byte (BEP 3).
    #[must_use]
    pub(crate) fn from_wire(bytes: &[u8], len: usize) -> Self {
        let mut bytes = bytes.to_vec();
        bytes.resize(len.div_ceil(8), 0);
        Self {
            bytes: bytes.into(),
            len,
        }
    }

    /// Makes `len` bits, asking for each.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn from_fn(len: usize, is_set: impl Fn(usize) -> bool) -> Self {
        let mut bytes = vec![0_u8; len.div_ceil(8)];
        for index in (0..len).filter(|index| is_set(*index)) {
            bytes[index / 8] |= 0x80 >> (index % 8);
        }
        Self {
            bytes: bytes.into(),
            len,
        }
    }

    /// Returns how many bits there are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns a bit; those beyond the end are not set.
    #[must_use]
    pub(crate) fn get(&self, index: usize) -> bool {
        index < self.len && self.bytes[index / 8] & (0x80 >> (index % 8)) != 0
    }

    /// Counts the bits that are set.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.bytes
            .iter()
            .map(|byte| byte.count_ones() as usize)
            .sum()
    }
}

/// The pieces of one torrent, here and in the swarm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// Those that are verified and stored.
    pub(crate) have: Bits,
    /// Those of which blocks are under way.
    pub(crate) active: Bits,
    /// Copies of each among connected peers, cut at 255; empty without peers.
    pub(crate) copies: Arc<[u8]>,
}

impl Pieces {
    /// Counts the pieces that neither we nor any connected peer has; 0 without peers, when nobody knows.
    #[must_use]
    pub(crate) fn nowhere(&self) -> usize {
        self.copies
            .iter()
            .enumerate()
            .filter(|(index, copies)| **copies == 0 && !self.have.get(*index))
            .count()
    }

    fn colour(&self, piece: usize) -> Rgba {
        let copies = self.copies.get(piece).copied();
        if self.have.get(piece) {
            match copies {
                Some(0) => HERE_ONLY,
                _ => HERE,
            }
        } else if self.active.get(piece) {
            ARRIVING
        } else {
            match copies {
                Some(0) => NOWHERE,
                Some(1) => RARE,
                _ => MISSING,
            }
        }
    }
}

/// Colour and opacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rgba([u8; 4]);

/// Verified and stored here, and at others too.
pub(crate) const HERE: Rgba = Rgba([17, 150, 136, 255]);
/// Stored here and at no connected peer.
pub(crate) const HERE_ONLY: Rgba = Rgba([17, 150, 136, 135]);
/// Blocks of it are under way; in a peer's map: the peer has it and we lack it.
pub(crate) const ARRIVING: Rgba = Rgba([242, 162, 48, 255]);
/// Missing, but at hand.
pub(crate) const MISSING: Rgba = Rgba([120, 140, 152, 62]);
/// Missing here, and one connected peer has it.
pub(crate) const RARE: Rgba = Rgba([124, 108, 232, 150]);
/// Missing here and at all connected peers.
pub(crate) const NOWHERE: Rgba = Rgba([222, 78, 70, 140]);

/// Pixels, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Pixels in a row.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
    /// Red, green, blue and opacity of each pixel, not premultiplied.
    pub(crate) rgba: Vec<u8>,
}

/// How pieces are laid out in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    columns: usize,
    rows: usize,
    cells: usize,
    width: usize,
    cell_height: usize,
    gap: usize,
}

impl Layout {
    /// Lays out a map that fills `width` pixels; `scale` is pixels of the screen to one of the page.
    #[must_use]
    pub(crate) fn map(pieces: usize, width: usize, scale: f64) -> Self {
        let scale = scale.clamp(1.0, 4.0);
        let width = width.clamp(MIN_WIDTH, MAX_WIDTH);
        let pitch = (CELL * scale).round() as usize;
        let fitting = (width / pitch).max(1);
        let cells = pieces.clamp(1, fitting * MAX_ROWS);
        let rows = cells.div_ceil(fitting);
        let height = if rows == 1 { SINGLE_ROW } else { CELL };
        Self {
            columns: cells.div_ceil(rows),
            rows,
            cells,
            width,
            cell_height: (height * scale).round() as usize,
            gap: (GAP * scale).round() as usize,
        }
    }

    /// Lays out one row for a peer.
    #[must_use]
    pub(crate) fn strip(pieces: usize) -> Self {
        let cells = pieces.clamp(1, STRIP_WIDTH / 2);
        Self {
            columns: cells,
            rows: 1,
            cells,
            width: STRIP_WIDTH,
            cell_height: STRIP_HEIGHT,
            gap: usize::from(cells <= STRIP_WIDTH / 8) * 2,
        }
    }

    /// Returns the image's height in pixels.
    #[must_use]
    pub(crate) fn height(&self) -> usize {
        // No gap below the last row.
        self.rows * self.cell_height - if self.rows > 1 { self.gap } else { 0 }
    }

    /// Returns the pieces that one cell stands for.
    fn pieces_of(&self, cell: usize, pieces: usize) -> std::ops::Range<usize> {
        cell * pieces / self.cells..((cell + 1) * pieces / self.cells).min(pieces)
    }

    /// Returns the columns of pixels that one column of cells covers.
    fn pixels_of(&self, column: usize) -> std::ops::Range<usize> {
        let start = column * self.width / self.columns;
        let end = (column + 1) * self.width / self.columns;
        let gap = if column + 1 < self.columns {
            self.gap
        } else {
            0
        };
        start..end.saturating_sub(gap).max(start + 1)
    }
}

/// Draws our own pieces.
#[must_use]
pub(crate) fn draw_own(pieces: &Pieces, layout: &Layout) -> Image {
    draw(pieces.have.len(), layout, |piece| pieces.colour(piece))
}

/// Draws what a peer has; what we lack of it stands out.
#[must_use]
pub(crate) fn draw_peer(peer: &Bits, own: &Bits, layout: &Layout) -> Image {
    draw(own.len(), layout, |piece| {
        match (peer.get(piece), own.get(piece)) {
            (true, true) => HERE,
            (true, false) => ARRIVING,
            (false, _) => MISSING,
        }
    })
}

fn draw(pieces: usize, layout: &Layout, colour: impl Fn(usize) -> Rgba) -> Image {
    let height = layout.height();
    let mut image = Image {
        width: layout.width,
        height,
        rgba: vec![0; layout.width * height * 4],
    };
    for row in 0..layout.rows {
        let top = row * layout.cell_height;
        let bottom = ((row + 1) * layout.cell_height - layout.gap.min(layout.cell_height - 1))
            .max(top + 1)
            .min(height);
        let bottom = if layout.rows == 1 { height } else { bottom };
        draw_row(&mut image, layout, row, top, |cell| {
            blend(layout.pieces_of(cell, pieces).map(&colour))
        });
        for line in top + 1..bottom {
            let source = top * layout.width * 4;
            image
                .rgba
                .copy_within(source..source + layout.width * 4, line * layout.width * 4);
        }
    }
    image
}

/// Draws the first line of pixels of a row of cells.
fn draw_row(
    image: &mut Image,
    layout: &Layout,
    row: usize,
    line: usize,
    colour: impl Fn(usize) -> Rgba,
) {
    for column in 0..layout.columns {
        let cell = row * layout.columns + column;
        if cell >= layout.cells {
            return;
        }
        let Rgba(colour) = colour(cell);
        for x in layout.pixels_of(column) {
            let at = (line * layout.width + x) * 4;
            image.rgba[at..at + 4].copy_from_slice(&colour);
        }
    }
}

/// Mixes the colours of the pieces that share a cell, each weighted by its opacity.
fn blend(colours: impl Iterator<Item = Rgba>) -> Rgba {
    let mut sums = [0_u64; 4];
    let mut count = 0;
    for Rgba([red, green, blue, alpha]) in colours {
        let alpha = u64::from(alpha);
        for (sum, value) in sums.iter_mut().zip([red, green, blue]) {
            *sum += u64::from(value) * alpha;
        }
        sums[3] += alpha;
        count += 1;
    }
    if sums[3] == 0 {
        return MISSING;
    }
    let [red, green, blue] = [sums[0], sums[1], sums[2]].map(|sum| (sum / sums[3]) as u8);
    Rgba([red, green, blue, (sums[3] / count) as u8])
}

/// Pixels of the page from one cell to the next.
const CELL: f64 = 11.0;
/// Pixels of the page between two cells.
const GAP: f64 = 2.0;
/// Height of a map that needs one row only.
const SINGLE_ROW: f64 = 22.0;
/// More rows than this, and pieces share cells.
const MAX_ROWS: usize = 8;
const MIN_WIDTH: usize = 64;
const MAX_WIDTH: usize = 4096;
const STRIP_WIDTH: usize = 320;
const STRIP_HEIGHT: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(have: &[u8], copies: &[u8]) -> Pieces {
        Pieces {
            have: Bits::from_fn(have.len(), |i| have[i] == 1),
            active: Bits::from_fn(have.len(), |i| have[i] == 2),
            copies: copies.into(),
        }
    }

    fn pixel(image: &Image, x: usize, y: usize) -> Rgba {
        let at = (y * image.width + x) * 4;
        Rgba(image.rgba[at..at + 4].try_into().expect("four bytes"))
    }

    #[test]
    fn every_kind_of_piece_has_its_colour() {
        let pieces = pieces(&[1, 1, 2, 0, 0, 0], &[0, 1, 1, 0, 1, 2]);
        let layout = Layout::map(6, 600, 1.0);
        let image = draw_own(&pieces, &layout);
        assert_eq!((image.width, image.height), (600, 22));
        let expected = [HERE_ONLY, HERE, ARRIVING, NOWHERE, RARE, MISSING];
        for (index, colour) in expected.into_iter().enumerate() {
            assert_eq!(pixel(&image, index * 100 + 50, 11), colour, "piece {index}");
        }
    }

    #[test]
    fn cells_are_apart() {
        let image = draw_own(&pieces(&[1, 1], &[]), &Layout::map(2, 100, 1.0));
        assert_eq!(pixel(&image, 49, 5), Rgba([0; 4]));
        assert_eq!(pixel(&image, 47, 5), HERE);
        assert_eq!(pixel(&image, 50, 5), HERE);
        assert_eq!(pixel(&image, 99, 21), HERE);
    }

    #[test]
    fn without_peers_nothing_is_called_rare() {
        let pieces = pieces(&[1, 0], &[]);
        assert_eq!(pieces.nowhere(), 0);
        let image = draw_own(&pieces, &Layout::map(2, 100, 1.0));
        assert_eq!(pixel(&image, 10, 5), HERE);
        assert_eq!(pixel(&image, 90, 5), MISSING);
    }

    #[test]
    fn pieces_that_share_a_cell_mix() {
        assert_eq!(
            blend([Rgba([100, 0, 0, 255]), Rgba([0, 100, 0, 255])].into_iter()),
            Rgba([50, 50, 0, 255])
        );
        assert_eq!(
            blend([Rgba([100, 0, 0, 200]), Rgba([0, 0, 0, 0])].into_iter()),
            Rgba([100, 0, 0, 100])
        );
    }

    #[test]
    fn half_a_large_torrent_fills_half_the_map() {
        let all = 100_000;
        let pieces = Pieces {
            have: Bits::from_fn(all, |i| i < all / 2),
            ..Pieces::default()
        };
        let layout = Layout::map(all, 900, 2.0);
        assert_eq!(layout.rows, MAX_ROWS);
        let image = draw_own(&pieces, &layout);
        assert_eq!(pixel(&image, 5, 3), HERE);
        assert_eq!(pixel(&image, 5, image.height - 3), MISSING);
    }

    #[test]
    fn a_peers_map_shows_what_we_lack() {
        let peer = Bits::from_fn(3, |i| i != 2);
        let own = Bits::from_fn(3, |i| i == 0);
        let image = draw_peer(&peer, &own, &Layout::strip(3));
        assert_eq!(pixel(&image, 50, 8), HERE);
        assert_eq!(pixel(&image, 160, 8), ARRIVING);
        assert_eq!(pixel(&image, 300, 8), MISSING);
    }

    proptest! {
        #[test]
        fn every_layout_covers_all_pieces_and_stays_inside(
            count in 0_usize..20_000,
            width in 0_usize..6_000,
            scale in 0.0_f64..5.0,
        ) {
            let layout = Layout::map(count, width, scale);
            let mut next = 0;
            for cell in 0..layout.cells {
                let range = layout.pieces_of(cell, count);
                prop_assert_eq!(range.start, next);
                next = range.end;
            }
            prop_assert_eq!(next, count);
            let pieces = Pieces { have: Bits::from_fn(count, |i| i % 3 == 0), ..Pieces::default() };
            let image = draw_own(&pieces, &layout);
            prop_assert_eq!(image.rgba.len(), image.width * image.height * 4);
        }

        #[test]
        fn bits_are_kept(bits in proptest::collection::vec(any::<bool>(), 0..100)) {
            let made = Bits::from_fn(bits.len(), |i| bits[i]);
            prop_assert_eq!(made.count(), bits.iter().filter(|bit| **bit).count());
            for (index, bit) in bits.iter().enumerate() {
                prop_assert_eq!(made.get(index), *bit);
            }
            prop_assert!(!made.get(bits.len()));
        }
    }
}
