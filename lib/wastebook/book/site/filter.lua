-- What Quarto's Markdown has beyond Pandoc's: callouts, numbered figures and tables, references.
-- References stay open (`<a class="reference">`): only the whole book knows what they name.

local offset = PANDOC_WRITER_OPTIONS.number_sections and PANDOC_WRITER_OPTIONS.number_offset[1]
local chapter = offset and offset + 1 .. "." or "" -- its number, before those of its figures and tables
local counts = { fig = 0, tbl = 0 }
local names = { fig = "Figure", tbl = "Table" }

local function kind_of(identifier)
  return identifier:match("^(%l+)%-")
end

-- A figure or table with its number and caption.
local function float(div, kind)
  counts[kind] = counts[kind] + 1
  local number = chapter .. counts[kind]
  local caption, last = pandoc.Inlines(names[kind] .. "\u{a0}" .. number), div.content[#div.content]
  if last and last.t == "Para" then
    caption:insert(pandoc.Str(": "))
    caption:extend(div.content:remove().content)
  end
  local attributes = pandoc.Attr(div.identifier, { "float", kind }, { number = number })
  return pandoc.Figure(div.content, { pandoc.Plain(caption) }, attributes)
end

local function reference(cite)
  local out = pandoc.Inlines({})
  for _, citation in ipairs(cite.citations) do
    if not ({ fig = true, tbl = true, sec = true })[kind_of(citation.id)] then
      return nil
    end
    out:extend(#out > 0 and { pandoc.Str(", ") } or {})
    out:insert(pandoc.RawInline("html", '<a class="reference">' .. citation.id:gsub("[<&]", "") .. "</a>"))
  end
  return out
end

return {
  { Div = function(div) -- a callout: its heading is no section
      if table.concat(div.classes):match("callout") then
        div.classes:insert("callout")
        div.content = div.content:walk({ Header = function(h) return pandoc.Para({ pandoc.Strong(h.content) }) end })
        return div
      end
    end },
  { traverse = "topdown",
    Div = function(div)
      local kind = kind_of(div.identifier)
      if names[kind] then
        return float(div, kind), false
      end
    end,
    Table = function(content)
      return pandoc.Div({ content }, { class = "scroll" }), false
    end },
  { Cite = reference,
    Link = function(link)
      if not link.target:match("^%a+:") then
        link.target = link.target:gsub("%.ipynb%f[#\0]", ".html"):gsub("%.qmd%f[#\0]", ".html")
        return link
      end
    end },
}
