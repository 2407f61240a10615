use std::collections::HashMap;

use crate::error::{Kind, PickleError};
use crate::object::{Given, Id, Object};

/// The largest number of steps: ten times the number that a checkpoint with ten thousand tensors takes.
pub(crate) const MAX_STEPS: usize = 1 << 22;

/// Additional steps charged for the first state or item of an object, because a [`Given`] takes memory.
const GIVEN_STEPS: usize = 2;

/// The stack machine.
pub(crate) struct Machine<'a> {
    input: &'a [u8],
    position: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Stack heights at the open marks; entries below the last mark are out of reach.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    steps_left: usize,
}

impl<'a> Machine<'a> {
    /// Returns all objects, the id of the root, and the position just after the pickle.
    pub(crate) fn run(input: &'a [u8], start: usize) -> Result<(Vec<Object<'a>>, Id, usize), PickleError> {
        let mut machine = Self {
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
                Ok(Some(root)) => return Ok((machine.objects, root, machine.position)),
                Err(kind) => return Err(PickleError { position, kind }),
            }
        }
    }

    /// Runs one opcode; returns the root at STOP.
    fn step(&mut self) -> Result<Option<Id>, Kind> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(Kind::TooLong)?;
        let opcode = self.number::<1>()?[0];
        match opcode {
            // PROTO, FRAME, STOP
            0x80 => match self.number::<1>()?[0] {
                1..=5 => {}
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
            0x88 | 0x89 => self.push(Object::Bool(opcode == 0x88)),

            // INT, LONG: lines of text; INT also writes bools
            b'I' => {
                let line = self.line()?;
                self.push(match line {
                    "00" | "01" => Object::Bool(line == "01"),
                    line => Object::Int(line.parse().map_err(|_| Kind::Integer)?),
                });
            }
            b'L' => {
                let line = self.line()?;
                let digits = line.strip_suffix('L').unwrap_or(line);
                let magnitude = digits.strip_prefix('-').unwrap_or(digits);
                if magnitude.is_empty() || !magnitude.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(Kind::Integer);
                }
                self.push(digits.parse().map_or(Object::Digits(digits), Object::Int));
            }

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
                let value = f64::from_be_bytes(self.number()?);
                self.push(Object::Float(value));
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

            // SHORT_BINSTRING, BINSTRING: Python 2's str
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
                let state = self.pop()?;
                let target = self.top()?;
                // A plain dict has no state to keep: its attributes are not its items.
                if let Some(given) = self.given(target)? {
                    given.state = Some(state);
                }
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
        let bytes = self.take(length)?;
        self.push(Object::ByteString(bytes));
        Ok(())
    }

    fn bytes(&mut self, length: u64) -> Result<(), Kind> {
        let bytes = self.take(length)?;
        self.push(Object::Bytes(bytes));
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

    /// Removes the last mark and returns everything above it.
    fn pop_mark(&mut self) -> Result<Vec<Id>, Kind> {
        let height = self.marks.pop().ok_or(Kind::NoMark)?;
        Ok(self.stack.drain(height..).collect())
    }

    fn pop_text(&mut self) -> Result<&'a str, Kind> {
        let id = self.pop()?;
        match &self.objects[id] {
            Object::Text(text) => Ok(text),
            other => Err(Kind::Type { found: other.kind(), expected: "str" }),
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), Kind> {
        let target = self.top()?;
        if let Some(given) = self.given(target)? {
            given.elements.extend(items);
            return Ok(());
        }
        match &mut self.objects[target] {
            Object::List(list) => list.extend(items),
            other => return Err(Kind::Type { found: other.kind(), expected: "list" }),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<(Id, Id)>) -> Result<(), Kind> {
        let target = self.top()?;
        if let Some(given) = self.given(target)? {
            given.items.extend(items);
            return Ok(());
        }
        match &mut self.objects[target] {
            Object::Dict(dict) => dict.extend(items),
            other => return Err(Kind::Type { found: other.kind(), expected: "dict" }),
        }
        Ok(())
    }

    /// Returns the state and items of an object that a call made; `None` for any other object.
    fn given(&mut self, target: Id) -> Result<Option<&mut Given>, Kind> {
        let Object::Call { given, .. } = &mut self.objects[target] else { return Ok(None) };
        if given.is_none() {
            self.steps_left = self.steps_left.checked_sub(GIVEN_STEPS).ok_or(Kind::TooLong)?;
        }
        Ok(Some(given.get_or_insert_default()))
    }

    /// Records a call. The only call that is interpreted is that of an ordered dict, empty (Python 3) or of
    /// pairs (Python 2).
    fn call(&mut self, callable: Id, args: Id) -> Result<(), Kind> {
        let ordered_dict =
            matches!(self.objects[callable], Object::Global { module: "collections", name: "OrderedDict" });
        let items = if ordered_dict { self.ordered_dict_items(args)? } else { None };
        self.push(items.map_or(Object::Call { callable, args, given: None }, Object::Dict));
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
