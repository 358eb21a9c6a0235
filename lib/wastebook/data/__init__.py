"""The data room: which photos there are, where they come from, how they are split."""
