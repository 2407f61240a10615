//! Instruction sets that loops are compiled for, and which of them this machine has.
//!
//! [`forms!`] declares a module's type `Kernel`: one *form* of the module's loops for each instruction set, and a
//! portable one. Only `Kernel::available` makes a `Kernel`, after it has asked the machine, so a `Kernel` proves that the
//! machine has the instructions of its form. The module matches the form and enters the function that is compiled for it.

mod forms;
