//! What stands between the frames of a stream and the wire format that reads them.

/// Goes through the frames of a stream, in which servers differ, so that one wire format reads all of them. The error
/// says why what came cannot be read.
pub(in crate::model) trait Pieces: Send {
    /// What is to be read now that this frame has come.
    fn push(&mut self, frame: String) -> Result<Vec<String>, String>;

    /// What else is to be read when the stream ends.
    fn finish(&mut self) -> Result<Vec<String>, String>;
}

/// Frames as several see them, one after the other.
#[derive(Default)]
pub(super) struct All(Vec<Box<dyn Pieces>>);

impl All {
    pub(super) fn new(pieces: Vec<Box<dyn Pieces>>) -> Self {
        Self(pieces)
    }

    pub(super) fn extend(&mut self, more: Option<Box<dyn Pieces>>) {
        self.0.extend(more);
    }

    pub(super) fn push(&mut self, frames: Vec<String>) -> Result<Vec<String>, String> {
        self.from(0, frames)
    }

    pub(super) fn finish(&mut self) -> Result<Vec<String>, String> {
        let mut frames = Vec::new();
        for place in 0..self.0.len() {
            let last = self.0[place].finish()?;
            frames.extend(self.from(place + 1, last)?);
        }
        Ok(frames)
    }

    fn from(&mut self, place: usize, frames: Vec<String>) -> Result<Vec<String>, String> {
        self.0[place..].iter_mut().try_fold(frames, |frames, pieces| {
            let mut all = Vec::new();
            for frame in frames {
                all.extend(pieces.push(frame)?);
            }
            Ok(all)
        })
    }
}
