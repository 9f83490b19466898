"""The phone line: Media Streams, TwiML, signatures, stream tokens and the leg of a caller who dialled."""
