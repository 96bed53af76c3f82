"""Spreadsheets: XLSX, XLSB, XLS, ODS, and XML of 2003."""
