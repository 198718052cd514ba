//! Messages built and read by hand.
//!
//! Deliberately apart from `weir::wire`: a mistake there must not be hidden by
//! the same mistake here.

use anyhow::{Context, Result, ensure};
use bson::Document;

/// Bytes before a message's content.
pub const HEADER: usize = 16;
/// OP_REPLY.
pub const REPLY: i32 = 1;
/// OP_QUERY.
pub const QUERY: i32 = 2004;
/// OP_COMPRESSED.
pub const COMPRESSED: i32 = 2012;
/// OP_MSG.
pub const MSG: i32 = 2013;
/// OP_MSG flag: another message follows without being asked for.
pub const MORE_TO_COME: u32 = 1 << 1;
/// OP_MSG flag: the client can take [`MORE_TO_COME`] in replies.
pub const EXHAUST_ALLOWED: u32 = 1 << 16;

/// A header with the right length, and `content`.
pub fn message(request_id: i32, response_to: i32, op_code: i32, content: &[u8]) -> Vec<u8> {
    let length = i32::try_from(HEADER + content.len()).unwrap_or(i32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + content.len());
    for word in [length, request_id, response_to, op_code] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(content);
    bytes
}

/// An OP_MSG with one body.
pub fn op_msg(request_id: i32, response_to: i32, flags: u32, body: &Document) -> Vec<u8> {
    op_msg_sections(request_id, response_to, flags, &[kind_0(body)])
}

/// An OP_MSG with any sections in any order.
pub fn op_msg_sections(
    request_id: i32,
    response_to: i32,
    flags: u32,
    sections: &[Vec<u8>],
) -> Vec<u8> {
    let mut content = flags.to_le_bytes().to_vec();
    content.extend(sections.concat());
    message(request_id, response_to, MSG, &content)
}

/// A body section.
pub fn kind_0(body: &Document) -> Vec<u8> {
    [vec![0], encode(body)].concat()
}

/// A document sequence section.
pub fn kind_1(identifier: &str, documents: &[Document]) -> Vec<u8> {
    let mut content = identifier.as_bytes().to_vec();
    content.push(0);
    content.extend(documents.iter().flat_map(encode));
    let size = i32::try_from(content.len() + 4).unwrap_or(i32::MAX);
    [vec![1], size.to_le_bytes().to_vec(), content].concat()
}

/// An OP_QUERY for a command, as drivers send for their first hello.
pub fn op_query(request_id: i32, database: &str, command: &Document) -> Vec<u8> {
    let mut content = 0_i32.to_le_bytes().to_vec();
    content.extend_from_slice(format!("{database}.$cmd\0").as_bytes());
    content.extend_from_slice(&0_i32.to_le_bytes());
    content.extend_from_slice(&(-1_i32).to_le_bytes());
    content.extend(encode(command));
    message(request_id, 0, QUERY, &content)
}

/// An OP_REPLY with one document.
pub fn op_reply(request_id: i32, response_to: i32, document: &Document) -> Vec<u8> {
    let mut content = vec![0; 16];
    content.extend_from_slice(&1_i32.to_le_bytes());
    content.extend(encode(document));
    message(request_id, response_to, REPLY, &content)
}

fn encode(document: &Document) -> Vec<u8> {
    // Fails only for documents beyond 2 GiB or keys with a NUL byte.
    document.to_vec().unwrap_or_default()
}

/// A message taken apart.
#[derive(Clone, Debug)]
pub struct Message {
    /// Every byte of it.
    pub bytes: Vec<u8>,
    /// The sender's number for it.
    pub request_id: i32,
    /// The number of the message it answers.
    pub response_to: i32,
    /// What kind of message.
    pub op_code: i32,
    /// OP_MSG's flags, 0 for other kinds.
    pub flags: u32,
    /// The body (OP_MSG), the query (OP_QUERY) or the first document (OP_REPLY).
    pub body: Document,
    /// OP_MSG's document sequences.
    pub sequences: Vec<(String, Vec<Document>)>,
}

impl Message {
    /// Takes a whole message apart. OP_COMPRESSED has an empty body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        ensure!(
            int(&bytes, 0)? == i32::try_from(bytes.len())?,
            "wrong length"
        );
        let mut parsed = Self {
            request_id: int(&bytes, 4)?,
            response_to: int(&bytes, 8)?,
            op_code: int(&bytes, 12)?,
            flags: 0,
            body: Document::new(),
            sequences: Vec::new(),
            bytes: Vec::new(),
        };
        match parsed.op_code {
            MSG => parsed.sections(&bytes)?,
            QUERY => {
                let (_, rest) = cstring(tail(&bytes, HEADER + 4)?)?;
                parsed.body = Document::from_reader(tail(rest, 8)?)?;
            }
            REPLY => parsed.body = Document::from_reader(tail(&bytes, HEADER + 20)?)?,
            _ => {}
        }
        parsed.bytes = bytes;
        Ok(parsed)
    }

    fn sections(&mut self, bytes: &[u8]) -> Result<()> {
        self.flags = u32::from_le_bytes(int(bytes, HEADER)?.to_le_bytes());
        let checksum = if self.flags & 1 == 1 { 4 } else { 0 };
        let end = bytes.len().saturating_sub(checksum);
        let mut rest = bytes.get(HEADER + 4..end).context("no sections")?;
        while let Some((kind, content)) = rest.split_first() {
            let size = usize::try_from(int(content, 0)?)?;
            let (section, after) = content.split_at_checked(size).context("section too long")?;
            rest = after;
            match kind {
                0 => self.body = Document::from_reader(section)?,
                1 => self.sequences.push(sequence(tail(section, 4)?)?),
                other => anyhow::bail!("section of kind {other}"),
            }
        }
        Ok(())
    }

    /// The command's or reply's first key.
    pub fn command(&self) -> &str {
        self.body.keys().next().map_or("", String::as_str)
    }

    /// Whether another message follows without being asked for.
    pub fn more_to_come(&self) -> bool {
        self.op_code == MSG && self.flags & MORE_TO_COME != 0
    }
}

fn sequence(section: &[u8]) -> Result<(String, Vec<Document>)> {
    let (identifier, mut rest) = cstring(section)?;
    let mut documents = Vec::new();
    while !rest.is_empty() {
        documents.push(Document::from_reader(&mut rest)?);
    }
    Ok((identifier, documents))
}

fn cstring(bytes: &[u8]) -> Result<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0).context("no NUL")?;
    let (text, rest) = bytes.split_at(end);
    Ok((String::from_utf8(text.to_vec())?, tail(rest, 1)?))
}

fn tail(bytes: &[u8], from: usize) -> Result<&[u8]> {
    bytes.get(from..).context("too short")
}

/// The little-endian number at `at`.
///
/// # Errors
/// When the bytes end before it.
pub fn int(bytes: &[u8], at: usize) -> Result<i32> {
    let word = bytes.get(at..at + 4).context("too short")?;
    Ok(i32::from_le_bytes(word.try_into()?))
}
