use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// A picture for the model to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// In which form it is.
    pub media_type: MediaType,
    /// The bytes of the file, in base64 with padding.
    pub data: String,
}

/// The forms of pictures that every provider of pictures takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaType {
    /// PNG.
    #[serde(rename = "image/png")]
    Png,
    /// JPEG.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// GIF.
    #[serde(rename = "image/gif")]
    Gif,
    /// WebP.
    #[serde(rename = "image/webp")]
    Webp,
}

impl MediaType {
    const ALL: [Self; 4] = [Self::Png, Self::Jpeg, Self::Gif, Self::Webp];

    /// Its name, as in `image/png`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }
}

impl Image {
    /// The picture in a file, by what the file begins with; none if that is no form that models know.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let name = infer::get(bytes)?.mime_type();
        let media_type = MediaType::ALL.into_iter().find(|it| it.as_str() == name)?;
        Some(Self { media_type, data: STANDARD.encode(bytes) })
    }

    /// The picture in words, for where only words can be.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!("{}, {} bytes", self.media_type.as_str(), self.data.len() / 4 * 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_it_begins_with() {
        let forms: [(&[u8], Option<MediaType>); 7] = [
            (b"\x89PNG\r\n\x1a\n0000", Some(MediaType::Png)),
            (b"\xff\xd8\xff\xe0aaaa", Some(MediaType::Jpeg)),
            (b"GIF89a0000", Some(MediaType::Gif)),
            (b"RIFF0000WEBPVP8 ", Some(MediaType::Webp)),
            (b"%PDF-1.7", None),
            (b"<svg/>", None),
            (b"", None),
        ];
        for (bytes, form) in forms {
            assert_eq!(Image::from_bytes(bytes).map(|image| image.media_type), form, "{bytes:?}");
        }
    }
}
