//! A pickle, taken apart and never executed.
//!
//! A pickle is a program for a stack machine. This machine builds a *description* of what the program
//! would build: a call is recorded as an [`Object::Call`] of a name on arguments, and nobody ever looks
//! the name up. So a hostile pickle can do nothing; it can only be large, deep, cyclic or malformed:
//!
//! - *Large*: a step adds at most one object, one item, one stack entry and one memo entry, text and bytes
//!   are slices of the input, and the number of steps is bounded.
//! - *Deep or cyclic*: objects live in one list and refer to each other by position, so nothing here
//!   recurses, not even `drop`. Readers must bound their own descent.
//! - *Malformed*: every read is checked, and errors carry the position in the file.
//!
//! Opcodes are those that protocols 2 to 5 write (CPython's `Lib/pickletools.py` documents them), except
//! for the extension registry and out-of-band buffers, which need a partner outside the file.

use std::collections::HashMap;

/// Ten times what a checkpoint with ten thousand tensors takes.
const MAX_STEPS: usize = 1 << 22;

/// Position of an object in its [`Pickle`].
pub(super) type Id = usize;

/// What a pickle describes.
#[derive(Debug)]
pub(super) enum Object<'a> {
    None,
    Bool,
    Int(i64),
    /// An integer that needs more than 64 bits: little-endian two's complement.
    Long(&'a [u8]),
    Float,
    Text(&'a str),
    Bytes,
    /// A list, or a set.
    List(Vec<Id>),
    /// A tuple, or a frozen set. Its elements are older than it is: tuples alone form no cycle.
    Tuple(Vec<Id>),
    /// A `dict` or a `collections.OrderedDict`, in insertion order.
    Dict(Vec<(Id, Id)>),
    /// The name of a class or function.
    Global {
        module: &'a str,
        name: &'a str,
    },
    /// A reference to something outside the pickle.
    Persistent(Id),
    /// An object that calling `callable` would make. Items and state it is given later are dropped.
    Call {
        callable: Id,
        args: Id,
    },
}

/// All objects of one pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    /// The object that the pickle stands for.
    pub(super) root: Id,
    /// Position in the input just after the pickle.
    pub(super) end: usize,
}

/// Why a pickle cannot be taken apart.
#[derive(Debug, thiserror::Error)]
#[error("at byte {position}: {kind}")]
pub(super) struct PickleError {
    position: usize,
    kind: PickleErrorKind,
}

#[derive(Debug, thiserror::Error)]
enum PickleErrorKind {
    #[error("the input ends too early")]
    Truncated,
    #[error("opcode {opcode:#04x} is not one that torch.save writes")]
    Opcode { opcode: u8 },
    #[error("protocol is {found}, expected 2..=5")]
    Protocol { found: u8 },
    #[error("more than {MAX_STEPS} steps")]
    TooLong,
    #[error("the stack is empty")]
    EmptyStack,
    #[error("the stack has no mark")]
    NoMark,
    #[error("memo entry {index} was never stored")]
    Memo { index: u32 },
    #[error("text is not valid UTF-8")]
    Text,
    #[error("the length {length} is negative")]
    Length { length: i32 },
    #[error("found type {found}, expected {expected}")]
    Kind { found: &'static str, expected: &'static str },
    #[error("a dict is given a key without a value")]
    OddItems,
}

use PickleErrorKind as Kind;

impl Object<'_> {
    /// The kind of the object, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "bool",
            Self::Int(_) | Self::Long(_) => "int",
            Self::Float => "float",
            Self::Text(_) => "str",
            Self::Bytes => "bytes",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Global { .. } => "class or function",
            Self::Persistent(_) => "reference",
            Self::Call { .. } => "object",
        }
    }
}

impl<'a> Pickle<'a> {
    /// Takes apart the pickle that begins at byte `start` of `input`.
    pub(super) fn parse(input: &'a [u8], start: usize) -> Result<Self, PickleError> {
        let mut machine = Machine {
            input,
            position: start,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            steps_left: MAX_STEPS,
        };
        loop {
            let position = machine.position;
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(Self { objects: machine.objects, root, end: machine.position }),
                Err(kind) => return Err(PickleError { position, kind }),
            }
        }
    }

    pub(super) fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id]
    }

    pub(super) fn objects(&self) -> &[Object<'a>] {
        &self.objects
    }
}

struct Machine<'a> {
    input: &'a [u8],
    position: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Stack heights at the open marks; entries below the last one are out of reach.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    steps_left: usize,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; gives the root at the last one.
    fn step(&mut self) -> Result<Option<Id>, Kind> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(Kind::TooLong)?;
        let opcode = self.number::<1>()?[0];
        match opcode {
            // PROTO, FRAME, STOP
            0x80 => match self.number::<1>()?[0] {
                2..=5 => {}
                found => return Err(Kind::Protocol { found }),
            },
            0x95 => drop(self.number::<8>()?),
            b'.' => return self.pop().map(Some),

            // MARK, POP, POP_MARK, DUP
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.pop().is_err() {
                    self.pop_mark()?;
                }
            }
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(self.top()?),

            // NONE, NEWTRUE, NEWFALSE
            b'N' => self.push(Object::None),
            0x88 | 0x89 => self.push(Object::Bool),

            // BININT, BININT1, BININT2, LONG1, LONG4, BINFLOAT
            b'J' => {
                let value = i32::from_le_bytes(self.number()?);
                self.push(Object::Int(value.into()));
            }
            b'K' => {
                let [value] = self.number()?;
                self.push(Object::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.number()?);
                self.push(Object::Int(value.into()));
            }
            0x8a => {
                let [length] = self.number()?;
                self.long(length.into())?;
            }
            0x8b => {
                let length = self.signed_length()?;
                self.long(length)?;
            }
            b'G' => {
                self.number::<8>()?;
                self.push(Object::Float);
            }

            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
            0x8c => {
                let [length] = self.number()?;
                self.text(length.into())?;
            }
            b'X' => {
                let length = u32::from_le_bytes(self.number()?);
                self.text(length.into())?;
            }
            0x8d => {
                let length = u64::from_le_bytes(self.number()?);
                self.text(length)?;
            }

            // SHORT_BINSTRING, BINSTRING: Python 2's str, where names are ASCII
            b'U' => {
                let [length] = self.number()?;
                self.python2_string(length.into())?;
            }
            b'T' => {
                let length = self.signed_length()?;
                self.python2_string(length)?;
            }

            // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
            b'C' => {
                let [length] = self.number()?;
                self.bytes(length.into())?;
            }
            b'B' => {
                let length = u32::from_le_bytes(self.number()?);
                self.bytes(length.into())?;
            }
            0x8e | 0x96 => {
                let length = u64::from_le_bytes(self.number()?);
                self.bytes(length)?;
            }

            // EMPTY_LIST, EMPTY_SET, LIST, APPEND, APPENDS, ADDITEMS
            b']' | 0x8f => self.push(Object::List(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Object::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }

            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE, FROZENSET
            b')' => self.push(Object::Tuple(Vec::new())),
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=opcode {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Object::Tuple(items));
            }
            b't' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Object::Tuple(items));
            }

            // EMPTY_DICT, DICT, SETITEM, SETITEMS
            b'}' => self.push(Object::Dict(Vec::new())),
            b'd' => {
                let items = pairs(&self.pop_mark()?)?;
                self.push(Object::Dict(items));
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(vec![(key, value)])?;
            }
            b'u' => {
                let items = pairs(&self.pop_mark()?)?;
                self.set_items(items)?;
            }

            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push(Object::Global { module, name });
            }
            0x93 => {
                let name = self.pop_text()?;
                let module = self.pop_text()?;
                self.push(Object::Global { module, name });
            }

            // REDUCE, NEWOBJ, NEWOBJ_EX, BUILD, BINPERSID
            b'R' | 0x81 => {
                let args = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, args)?;
            }
            0x92 => {
                self.pop()?;
                let args = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, args)?;
            }
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id));
            }

            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
            b'q' => {
                let [index] = self.number()?;
                self.memo.insert(index.into(), self.top()?);
            }
            b'r' => {
                let index = u32::from_le_bytes(self.number()?);
                self.memo.insert(index, self.top()?);
            }
            0x94 => {
                // MAX_STEPS keeps the memo far below u32::MAX entries.
                self.memo.insert(self.memo.len() as u32, self.top()?);
            }
            b'h' => {
                let [index] = self.number()?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.number()?);
                self.recall(index)?;
            }

            _ => return Err(Kind::Opcode { opcode }),
        }
        Ok(None)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Kind> {
        let rest = self.input.get(self.position..).ok_or(Kind::Truncated)?;
        let length = usize::try_from(length).map_err(|_| Kind::Truncated)?;
        let taken = rest.get(..length).ok_or(Kind::Truncated)?;
        self.position += length;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Kind> {
        self.take(N as u64)?.try_into().map_err(|_| Kind::Truncated)
    }

    fn signed_length(&mut self) -> Result<u64, Kind> {
        let length = i32::from_le_bytes(self.number()?);
        u64::try_from(length).map_err(|_| Kind::Length { length })
    }

    fn line(&mut self) -> Result<&'a str, Kind> {
        let rest = self.input.get(self.position..).ok_or(Kind::Truncated)?;
        let length = rest.iter().position(|&b| b == b'\n').ok_or(Kind::Truncated)?;
        self.position += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| Kind::Text)
    }

    fn long(&mut self, length: u64) -> Result<(), Kind> {
        let bytes = self.take(length)?;
        let object = if bytes.len() > 8 {
            Object::Long(bytes)
        } else {
            let sign = if bytes.last().is_some_and(|&high| high >= 0x80) { 0xff } else { 0 };
            let mut extended = [sign; 8];
            extended[..bytes.len()].copy_from_slice(bytes);
            Object::Int(i64::from_le_bytes(extended))
        };
        self.push(object);
        Ok(())
    }

    fn text(&mut self, length: u64) -> Result<(), Kind> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Kind::Text)?;
        self.push(Object::Text(text));
        Ok(())
    }

    fn python2_string(&mut self, length: u64) -> Result<(), Kind> {
        let object = std::str::from_utf8(self.take(length)?).map_or(Object::Bytes, Object::Text);
        self.push(object);
        Ok(())
    }

    fn bytes(&mut self, length: u64) -> Result<(), Kind> {
        self.take(length)?;
        self.push(Object::Bytes);
        Ok(())
    }

    fn push(&mut self, object: Object<'a>) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn top(&self) -> Result<Id, Kind> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(<[Id]>::last).copied().ok_or(Kind::EmptyStack)
    }

    fn pop(&mut self) -> Result<Id, Kind> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Everything above the last mark, which is removed.
    fn pop_mark(&mut self) -> Result<Vec<Id>, Kind> {
        let height = self.marks.pop().ok_or(Kind::NoMark)?;
        Ok(self.stack.drain(height..).collect())
    }

    fn pop_text(&mut self) -> Result<&'a str, Kind> {
        let id = self.pop()?;
        match &self.objects[id] {
            Object::Text(text) => Ok(text),
            other => Err(Kind::Kind { found: other.kind(), expected: "str" }),
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), Kind> {
        let target = self.top()?;
        match &mut self.objects[target] {
            Object::List(list) => list.extend(items),
            Object::Call { .. } => {}
            other => return Err(Kind::Kind { found: other.kind(), expected: "list" }),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<(Id, Id)>) -> Result<(), Kind> {
        let target = self.top()?;
        match &mut self.objects[target] {
            Object::Dict(dict) => dict.extend(items),
            Object::Call { .. } => {}
            other => return Err(Kind::Kind { found: other.kind(), expected: "dict" }),
        }
        Ok(())
    }

    /// The one call that is understood is an ordered dict, empty (Python 3) or of pairs (Python 2).
    fn call(&mut self, callable: Id, args: Id) -> Result<(), Kind> {
        let ordered_dict =
            matches!(self.objects[callable], Object::Global { module: "collections", name: "OrderedDict" });
        let items = if ordered_dict { self.ordered_dict_items(args)? } else { None };
        self.push(items.map_or(Object::Call { callable, args }, Object::Dict));
        Ok(())
    }

    fn ordered_dict_items(&mut self, args: Id) -> Result<Option<Vec<(Id, Id)>>, Kind> {
        let Object::Tuple(args) = &self.objects[args] else { return Ok(None) };
        let &[list] = args.as_slice() else { return Ok(args.is_empty().then(Vec::new)) };
        let Object::List(items) = &self.objects[list] else { return Ok(None) };
        // One list can be the argument of many calls.
        self.steps_left = self.steps_left.checked_sub(items.len()).ok_or(Kind::TooLong)?;
        let pair = |&item: &Id| match &self.objects[item] {
            Object::List(pair) | Object::Tuple(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
            _ => None,
        };
        Ok(items.iter().map(pair).collect())
    }

    fn recall(&mut self, index: u32) -> Result<(), Kind> {
        let id = *self.memo.get(&index).ok_or(Kind::Memo { index })?;
        self.stack.push(id);
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, Kind> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Kind::OddItems);
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}
