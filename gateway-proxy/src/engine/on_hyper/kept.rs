//! A client's body of which the beginning is kept, so that another try can send it again.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::body::{ClientBody, CutShort};

/// Reads the body from its beginning. A body has one reader for each try, of which only the last is read.
#[derive(Clone)]
pub(super) struct Reader {
    shared: Rc<RefCell<Kept>>,
    /// The piece that comes next.
    at: usize,
}

struct Kept {
    body: ClientBody,
    pieces: Vec<Bytes>,
    /// Bytes that may still be kept.
    room: usize,
    /// What has passed is not all here.
    lost: bool,
    over: bool,
    size: SizeHint,
}

impl Reader {
    /// Keeps at most `most` bytes.
    pub(super) fn new(body: ClientBody, most: usize) -> Self {
        let size = body.size_hint();
        let kept = Kept { body, pieces: Vec::new(), room: most, lost: false, over: false, size };
        Self { shared: Rc::new(RefCell::new(kept)), at: 0 }
    }

    /// Another, from the beginning.
    pub(super) fn again(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), at: 0 }
    }

    /// Whether the beginning is still there.
    pub(super) fn is_whole(&self) -> bool {
        !self.shared.borrow().lost
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let mut kept = self.shared.borrow_mut();
        if let Some(piece) = kept.pieces.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if kept.over {
            return Poll::Ready(None);
        }
        let frame = ready!(kept.body.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => kept.keep(frame.data_ref()),
            Some(Err(_)) => kept.lost = true,
            None => kept.over = true,
        }
        self.at = kept.pieces.len();
        Poll::Ready(frame)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let kept = self.shared.borrow();
        self.at >= kept.pieces.len() && (kept.over || kept.body.is_end_stream())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let kept = self.shared.borrow();
        if self.at == 0 { kept.size } else { kept.body.size_hint() }
    }
}

impl Kept {
    /// Trailers are not kept: a body that has any is not sent again.
    fn keep(&mut self, data: Option<&Bytes>) {
        let room = data.and_then(|d| self.room.checked_sub(d.len()));
        match (data, room) {
            (Some(data), Some(room)) if !self.lost => {
                self.room = room;
                self.pieces.push(data.clone());
            }
            _ => {
                self.lost = true;
                self.pieces = Vec::new();
            }
        }
    }
}
