//! Text to proven configuration; gathers the settings of each room.
