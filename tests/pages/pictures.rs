//! How the pages look: each is compared with a small picture of it that somebody has looked at.
//!
//! A browser of another version, or other fonts, draw the same page a little otherwise. So what is compared is the mean
//! colour of blocks: whatever is missing, lies elsewhere or has the wrong colours is seen, and the shape of letters is not.
//! `HOST_PICTURES=write` takes what is drawn now as what is right.

use std::io::{BufRead as _, BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::browser::Browser;
use crate::support::{Agent, root};

/// The side of what becomes one dot of a small picture.
const DOT: usize = 8;
/// The side of a block, in dots.
const BLOCK: usize = 3;
/// A block is another one if a colour of it differs by more, of 255.
const DIFFERS: u32 = 40;
/// So much of a page may be other blocks, in thousandths. With other fonts (those of Debian and of Liberation were compared)
/// lines break elsewhere on a narrow page: 31 thousandths of it were other blocks, and 2 of a wide one.
const OTHER_MAX: usize = 10;
const OTHER_NARROW_MAX: usize = 40;
/// A page is narrow that has fewer dots.
const NARROW: usize = 100;

/// A picture of three bytes a dot.
struct Picture {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl Picture {
    fn read(file: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(Cursor::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let samples = info.color_type.samples();
        assert!(samples >= 3, "a picture has colours");
        let bytes = bytes.chunks_exact(samples).flat_map(|dot| dot[..3].to_vec()).collect();
        Self { width: info.width as usize, height: info.height as usize, bytes }
    }

    fn written(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let (width, height) = (u32::try_from(self.width).unwrap(), u32::try_from(self.height).unwrap());
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&self.bytes).unwrap();
        file
    }

    /// The same, with one dot for each square of so many.
    fn smaller(&self, side: usize) -> Self {
        let (width, height) = (self.width.div_ceil(side), self.height.div_ceil(side));
        let mean = |row: usize, column: usize, colour: usize| {
            let rows = row * side..((row + 1) * side).min(self.height);
            let columns = || column * side..((column + 1) * side).min(self.width);
            let at = |row: usize, column: usize| self.bytes[(row * self.width + column) * 3 + colour];
            let all: Vec<u32> =
                rows.flat_map(|row| columns().map(move |column| at(row, column).into())).collect();
            u8::try_from(all.iter().sum::<u32>() / u32::try_from(all.len()).unwrap()).unwrap()
        };
        let places = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        let bytes = places.flat_map(|(row, column)| [0, 1, 2].map(|colour| mean(row, column, colour)));
        Self { width, height, bytes: bytes.collect() }
    }

    /// The blocks that are others than those of another picture, by row and column.
    fn differs(&self, other: &Self) -> Vec<(usize, usize)> {
        let dots = self.bytes.chunks(3).zip(other.bytes.chunks(3)).enumerate();
        let differ = |one: &[u8], other: &[u8]| {
            one.iter().zip(other).any(|(a, b)| u32::from(a.abs_diff(*b)) > DIFFERS)
        };
        dots.filter(|(_, (one, other))| differ(one, other))
            .map(|(at, _)| (at / self.width, at % self.width))
            .collect()
    }
}

/// Compares what a browser shows with the picture of this name.
async fn looks_like(browser: &Browser, name: &str) {
    browser.picture(name).await;
    let drawn = Picture::read(&browser.client.screenshot().await.unwrap()).smaller(DOT);
    let kept: PathBuf = root().join(format!("tests/pages/pictures/{name}.png"));
    if std::env::var("HOST_PICTURES").is_ok_and(|how| how == "write") {
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        std::fs::write(&kept, drawn.written()).unwrap();
        return;
    }
    let right = Picture::read(&std::fs::read(&kept).unwrap());
    assert_eq!((drawn.width, drawn.height), (right.width, right.height), "{name}");
    let max = if drawn.width < NARROW { OTHER_NARROW_MAX } else { OTHER_MAX };
    let (drawn, right) = (drawn.smaller(BLOCK), right.smaller(BLOCK));
    let differ = drawn.differs(&right);
    let other = differ.len() * 1000 / (drawn.width * drawn.height);
    assert!(
        other <= max,
        "{name} looks otherwise than tests/pages/pictures/{name}.png in {other} thousandths of it: see target/pages/{name}.png; the \
         blocks are, by row and column: {differ:?}"
    );
}

/// A run of the example `desk` on a day when its model was busy: it is drawn the same each time.
const RUN: &str = "tests/pages/desk.jsonl";

/// `host ui` with a file, until it is dropped.
struct Pages {
    child: Child,
    url: String,
}

impl Pages {
    fn of(agent: &Agent, run: &Path) -> Self {
        let mut command = agent.command(&["ui", run.to_str().unwrap(), "--no-open"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_look_as_they_did() {
    for (is_dark, width) in [(false, 1440), (true, 1440), (false, 390), (true, 390)] {
        let Some(browser) = Browser::new(is_dark, width.max(500)).await else { return };
        browser.client.set_window_size(width, 1000).await.unwrap();
        let agent = Agent::scripted("");
        let pages = Pages::of(&agent, &root().join(RUN));
        let of = |page: &str| format!("{page}-{width}-{}", if is_dark { "dark" } else { "light" });
        browser.goto(&pages.url).await;
        browser.says("check_fraud").await;
        looks_like(&browser, &of("run")).await;
        for (page, path) in [("call", "at/tool-0-1"), ("chat", "chat")] {
            browser.goto(&format!("{}/ui/runs/last/{path}", pages.url.split("/ui/").next().unwrap())).await;
            browser.says("broken leg").await;
            looks_like(&browser, &of(page)).await;
        }
        browser.end().await;
    }
}
