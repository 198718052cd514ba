//! The official drivers against real servers, without Weir: what fails here
//! says nothing about Weir.
