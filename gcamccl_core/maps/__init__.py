"""Room three: class-specific activation maps, the evidence for them, and what they select."""
