//! Models, checked state by state: every interleaving within their bounds, not those that a test happens to meet.
//!
//! Each calls the functions that the code calls to decide; what they leave out stands at the top of each.

mod cutover;
mod cutover_world;
mod lease;
mod window;
mod window_steps;
mod window_words;
